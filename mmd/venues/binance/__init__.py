"""Binance spot market data: WebSocket streams, and REST for what the streams don't tell."""
