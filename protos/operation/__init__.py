"""Operation of long-running programs.

supervisor.py          background tasks that are restarted when they fail
event_loop.py          event loops beside threads that compute
garbage_collection.py  garbage collection without long pauses
log.py                 log lines without control characters, with limited repetition
text.py                escaping and truncation of untrusted text
lock.py                file locks that name their holder
private.py             files and directories with owner-only permissions
command_line.py        `--version`, and output into closed pipes
"""
