"""A seeded hand that strikes a whole mmd, and a judge who reads the venue's own record.

subject     the mmd that is struck: its home, its commands, its processes
world       the two simulated venues, asked and spoiled over their control calls
chronicle   the venue's record as life stories of orders (pure)
watch       who answered for each pair, sampled while it all happens
blows       what the hand can do
proof       what must always be true, asked of chronicle, records and status
campaign    rounds of blows, each followed by recovery and proof
soak        hours of nothing special: memory, descriptors, false alarms
"""
