"""What the second layers are made of: joined predictions, averages, regressors, and their comparison."""
