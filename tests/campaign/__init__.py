"""The reliability campaign: every fault many times, storms of them, and the report of what was seen (`make faults`)."""
