"""What the trainer keeps: transitions, policies, labels and jobs, in one SQL database."""
