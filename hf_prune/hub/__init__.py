"""Files and cards to and from a repository on the Hub, whatever they hold.

Imports the ground floor.
"""
