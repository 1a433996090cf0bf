#!/bin/sh
# Gives a learner a copy of the course in lessons/, overwrites nothing, and starts their server.
hypkit lessons --copy "$HOME/lessons" --no-open || echo "hypkit: the course was not copied" >&2
exec "$@"
