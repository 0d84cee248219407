"""Yardsticks: cuts, a menu of them, PCA and supervised classifiers, each as a bundle."""
