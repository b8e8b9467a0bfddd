"""Whether what was seen is what a verdict allows. Everything here is a function of what was seen."""

from .messages import ProtocolError


def check(want, case, seen, probes=0):
    """None if all steps of `want` have come true and nothing else has happened; otherwise what is missing or wrong.
    `probes`: that many requests and responses at the end may be the suite's own."""
    try:
        return check_requests(want, case, seen, probes) or check_responses(want, case, seen, probes)
    except ProtocolError as e:
        return f"the client got {e}"


def without_probes(items, count, probes):
    return items[:-probes] if probes and len(items) > count else items


def check_requests(want, case, seen, probes):
    if seen.malformed:
        return f"the upstream got {seen.malformed}"
    if case.upstream is not None:
        return None
    steps = [step for step in want if step.kind == "forwarded"]
    requests = [r for r in seen.requests if not (probes and r.line.startswith(b"GET /probe "))]
    if len(requests) != len(steps):
        return f"{len(requests)} requests were forwarded, not {len(steps)}"
    for request, step in zip(requests, steps):
        if problem := check_request(step, request):
            return problem
    if seen.partial and want[-1].kind == "forwarded":
        return "bytes beyond the request were forwarded"
    return None


def check_request(step, request):
    lines = step.all("line")
    if lines and request.line not in lines:
        return f"the request line is {text(request.line)}"
    return check_fields(step, request)


def check_fields(step, message):
    for name, value in map(split_field, step.all("has")):
        if message.fields.all(name) != [value]:
            return f"{name} is {message.fields.all(name) or 'missing'}"
    for name, value in map(split_field, step.all("list")):
        if " ".join(", ".join(message.fields.all(name)).split()) != value:
            return f"{name} is {message.fields.all(name) or 'missing'}"
    for name in step.all("lacks"):
        if values := message.fields.all(text(name)):
            return f"{text(name)} is {values}"
    for name, value in map(split_field, step.all("trailer")):
        if message.trailers.all(name) != [value]:
            return f"the trailer {name} is {message.trailers.all(name) or 'missing'}"
    for name in step.all("notrailer"):
        if values := message.trailers.all(text(name)):
            return f"the trailer {text(name)} is {values}"
    for body in step.all("body"):
        if message.body != body:
            return f"the body is {text(message.body[:60])!r}"
    framings = [text(framing) for framing in step.all("framing")]
    if framings and message.framing not in framings:
        return f"the framing is {message.framing}"
    return None


def check_responses(want, case, seen, probes):
    responses = seen.responses()
    steps = [step for step in want if step.kind != "dropped"]
    if probes and len(responses) > len(steps):
        responses = responses[:-probes]
    if want[-1].kind == "broken":
        return check_broken(responses, seen)
    if len(responses) != len(steps) or not all(response.complete for response in responses):
        return f"{sum(r.complete for r in responses)} responses came, not {len(steps)}"
    forwarded = 0
    for response, step in zip(responses, steps):
        forwarded += step.kind == "forwarded"
        if problem := check_response(step, response, forwarded, seen):
            return problem
    if want[-1].kind in ("refused", "dropped") and not seen.client_end:
        return "the connection was kept"
    return None


def check_response(step, response, forwarded, seen):
    if step.kind == "passed":
        statuses = [int(status) for status in step.all("status")]
        if statuses and response.status not in statuses:
            return f"the status is {response.status}"
        interim = [status for status in step.all("interim") if status]
        if step.says("interim") and [str(m.status).encode() for m in response.interim] != interim:
            return f"the interim responses are {[m.status for m in response.interim]}"
        return check_fields(step, response)
    if step.kind == "forwarded":
        body = b"" if seen.requests[forwarded - 1].method == "HEAD" else b"answer %d" % forwarded
        right = response.body == body
        return None if right else f"request {forwarded} was answered {text(response.body[:40])!r}"
    if response.status not in step.statuses:
        return f"the status is {response.status}"
    return None


def check_broken(responses, seen):
    if len(responses) > 1:
        return f"{len(responses)} responses came"
    if responses and responses[0].complete:
        return f"a {response_name(responses[0])} response came, and it looks whole"
    return None if seen.client_end else "the connection was kept"


def response_name(response):
    return f"{response.status}"


def split_field(line):
    name, _, value = text(line).partition(":")
    return name, value.strip(" ")


def text(data):
    return data.decode("latin-1")
