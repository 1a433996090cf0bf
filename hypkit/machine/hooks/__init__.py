"""The compiled callbacks that Unicorn calls, and the state that they share with Python."""
