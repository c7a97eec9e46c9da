"""`python -m real_env`."""

from real_env.cli import main

if __name__ == "__main__":
    main()
