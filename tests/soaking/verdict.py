"""What must not be: a trend upwards, a wrong body, a failure without a cause, and anything left when all have gone."""

import statistics

# name -> (what is compared, how much more there may be: a part of it, and an amount)
TRENDS = {
    "resident memory": (lambda look: look["rss"], 0.10, 2 << 20),
    "descriptors": (lambda look: look["open"], 0.20, 24),
    "live frames": (lambda look: look["frames"], 0.20, 64),
    "bytes in buffers": (lambda look: look["buffer_bytes"], 0.50, 1 << 20),
}
LEAST_SAMPLES = 20  # below, medians of quarters say nothing


def quarters(values):
    """The medians of the second quarter and of the last. The first is for warming up."""
    quarter = len(values) // 4
    return statistics.median(values[quarter:2 * quarter]), statistics.median(values[-quarter:])


def trends(name, looks):
    """The problems, in words, in what one gateway held over time."""
    if len(looks) < LEAST_SAMPLES:
        return [f"{name}: {len(looks)} samples are too few to judge; at least {LEAST_SAMPLES} are needed"]
    problems = []
    for what, (of, part, amount) in TRENDS.items():
        before, after = quarters([of(look) for look in looks])
        most = before * (1 + part) + amount
        if after > most:
            problems.append(f"{name}: {what} rose from {before:.0f} (median of the second quarter) to {after:.0f} "
                            f"(last quarter); at most {most:.0f} is tolerated")
    return problems


def of_tally(tally):
    problems = []
    if tally.wrong_count:
        problems.append(f"{tally.wrong_count} wrong bodies: {'; '.join(tally.wrong)}")
    if tally.unexplained_count:
        problems.append(f"{tally.unexplained_count} failures though the origin was up: {'; '.join(tally.unexplained)}")
    if idle := [kind for kind in EVERY_KIND if not tally.good[kind]]:
        problems.append(f"not one success of: {', '.join(idle)}")
    return problems


# The clients that must have had success, or the load was not what it says.
EVERY_KIND = ("small", "large", "chunked", "drip", "upload", "echo", "slow", "holding", "tunnel_small", "tunnel_large",
              "tunnel_slow")


def of_gateway(name, gateway):
    """What a gateway has said besides what it was asked."""
    problems = []
    if gateway.ends["internal"]:
        problems.append(f"{name}: {gateway.ends['internal']} requests ended as internal")
    if gateway.malformed:
        problems.append(f"{name}: unknown lines on standard output: {gateway.malformed[:3]}")
    other = [line for line in gateway.errors if not line.startswith("headgate: live ")]
    if other:
        problems.append(f"{name}: on standard error: {other[:5]}")
    return problems
