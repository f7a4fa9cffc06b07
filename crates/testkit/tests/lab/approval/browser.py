# The server's pages without a browser. Arguments: a file for cookies, then `sign-in` (name, password and
# code are lines of the input), `approve NUMBER` or `deny`: waits for a sign-in that wants to be approved,
# and answers it. Prints what the page says then.
import html.parser
import http.cookiejar
import ssl
import sys
import urllib.parse
import urllib.request

SERVER = "https://server.corp.latchkey.test"

jar = http.cookiejar.LWPCookieJar(sys.argv[1])
if sys.argv[2] != "sign-in":
    jar.load(ignore_discard=True)
trust = ssl.create_default_context(cafile="/etc/latchkey/tls/ca.pem")
opener = urllib.request.build_opener(
    urllib.request.HTTPSHandler(context=trust), urllib.request.HTTPCookieProcessor(jar)
)
opener.addheaders = [("Accept", "text/html")]


class Page(html.parser.HTMLParser):
    """The forms of a page, each with where it goes and its hidden fields; and its words."""

    def __init__(self, text):
        super().__init__()
        self.forms, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append((attributes["action"], {}))
        if tag == "input" and attributes.get("type") == "hidden":
            self.forms[-1][1][attributes["name"]] = attributes["value"]

    def handle_data(self, data):
        self.words.append(data)

    def send(self, typed):
        action, fields = self.forms_with("step" if "step" not in typed else None)[0]
        return fetch(action, {**fields, **typed})

    def forms_with(self, hidden):
        own = [form for form in self.forms if hidden is None or hidden in form[1]]
        assert own, " ".join(self.words)
        return own


def fetch(path, fields=None):
    body = urllib.parse.urlencode(fields).encode() if fields else None
    with opener.open(urllib.parse.urljoin(SERVER, path), body, timeout=60) as answer:
        return Page(answer.read().decode())


if sys.argv[2] == "sign-in":
    name, password, code = sys.stdin.read().splitlines()
    page = fetch("/approvals").send({"login": name})
    page = page.send({"passwd": password}).send({"otc": code})
else:
    page = fetch("/approvals?wait=1")
    waiting = [form for form in page.forms if "id" in form[1]]
    assert waiting, " ".join(page.words)
    action, fields = waiting[0]
    answer = {"step": "deny"} if sys.argv[2] == "deny" else {"number": sys.argv[3]}
    page = fetch(action, {**fields, **answer})
jar.save(ignore_discard=True)
print(" ".join(" ".join(page.words).split()))
