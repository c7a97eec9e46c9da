"""The wire between trainer, controller and real_env."""
