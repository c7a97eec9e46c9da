"""Where a trainer is asked for, unless the command line says otherwise."""

ADDRESS = "127.0.0.1:50051"
