"""Runs a program at a pseudo-terminal of a given size: its screen goes to our stdout, our stdin is its keyboard.

usage: terminal.py COLUMNS ROWS together|apart PROGRAM [ARGUMENT...]
"apart" leaves the program our stderr, where "together" gives it the terminal.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

columns, rows, notes, *program = sys.argv[1:]
kept = os.dup(2)
child, screen = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
    if notes == "apart":
        os.dup2(kept, 2)
    os.close(kept)
    os.execvp(program[0], program)

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _frame: os.kill(child, number))

sources = [screen, 0]
while screen in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            data = os.read(source, 65536)
        except OSError:
            data = b""  # The program has closed the terminal.
        if not data:
            sources.remove(source)
        elif source == screen:
            os.write(1, data)
        else:
            os.write(screen, data)

status = os.waitpid(child, 0)[1]
code = os.waitstatus_to_exitcode(status)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
