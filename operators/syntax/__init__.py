"""What operators share: reading a program or experiment, and changing as little as the idea needs."""
