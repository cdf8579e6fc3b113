"""The live page's data: documents of each second, and the stream of events that carries them.

Each event is encoded once and sent to all watchers.
"""
