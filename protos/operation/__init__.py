"""What a program of HDS needs to run unattended for a year, whichever program it is.

supervisor.py   background work that is begun anew when it fails, and whose troubles can be asked for
log.py          the log: no line of a client's making, no line a thousand times
text.py         text from elsewhere, fit for a terminal and a log
lock.py         one program at a time in a directory or on a device, and who it is
private.py      files and directories that only their owner reads
"""
