"""The other side, on loopback: what Google, push services and mail servers accept and refuse, and what people then
see."""
