"""A person with a browser: follows redirects, fills in forms, keeps cookies."""

import base64
import hmac
import html.parser
import os
import struct
import time
import urllib.parse

import requests


class Form(html.parser.HTMLParser):
    """The first form of a page."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = attributes["action"]
        if tag == "input" and "name" in attributes:
            self.fields[attributes["name"]] = attributes.get("value", "")


def one_time_password(step=0):
    key = base64.b32decode(os.environ["SECRET"])
    counter = struct.pack(">q", int(time.time()) // 30 + step)
    mac = hmac.digest(key, counter, "sha1")
    at = mac[19] & 15
    number = struct.unpack(">I", mac[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


class Person:
    def __init__(self, name, step=0):
        self.name, self.step = name, step
        self.browser = requests.Session()
        self.browser.headers["Accept"] = "text/html"

    def _submit(self, answer, **typed):
        form = Form(answer.text)
        for name, value in typed.items():
            assert name in form.fields, (name, answer.text)
            form.fields[name] = value
        action = urllib.parse.urljoin(answer.url, form.action)
        return self.browser.post(action, data=form.fields, allow_redirects=False)

    def fill_in(self, answer):
        """Signs in on the pages, as far as they ask."""
        if 'id="i0116"' in answer.text:
            answer = self._submit(answer, login=self.name)
        if 'id="i0118"' in answer.text:
            answer = self._submit(answer, passwd=os.environ["PASSWORD"])
        if 'id="idTxtBx_SAOTCC_OTC"' in answer.text:
            answer = self._submit(answer, otc=one_time_password(self.step))
        return answer

    def visit(self, url):
        """Goes where a client sends the person; the URI that the client gets back."""
        answer = self.browser.get(url, allow_redirects=False)
        answer = self.fill_in(answer)
        assert answer.status_code == 302, (answer.status_code, answer.text)
        return answer.headers["Location"]

    def type_code(self, place, code):
        """Types the code that a device shows."""
        answer = self.browser.get(place)
        answer = self.fill_in(self._submit(answer, otc=code))
        if "asks to be signed in" in answer.text:
            form = Form(answer.text)
            action = urllib.parse.urljoin(answer.url, form.action)
            answer = self.browser.post(action, data={**form.fields, "agree": "yes"})
        assert "You have signed in" in answer.text, answer.text
