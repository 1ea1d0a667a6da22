"""The use cases of messages. The only code that writes them.

`messages` queues, `delivery` is the worker's half, `sms_caps` says how many text messages go out, and where to.
"""
