"""The ACE exchange, REST API v2: what may be asked, what is answered, and two clients that ask.

Everything but the two clients (`client` over requests, `aio` over aiohttp) and the budget's file
is free of I/O and shared by both.
"""
