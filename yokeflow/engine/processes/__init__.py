"""Processes of agents and checks: started, read, ended with all they started."""
