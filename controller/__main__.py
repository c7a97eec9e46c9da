"""`python -m controller` and `hds-controller`."""

from controller.grpc_polling import choose

choose()  # before gRPC is imported

from controller.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
