"""`models/run reproduce`: recordings, trainings, yardsticks, evaluations, table and plots from nothing."""
