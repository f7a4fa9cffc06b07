// A person with a browser: fills in forms and keeps cookies.

const unescape = (text) =>
  text
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");

export class Person {
  constructor(name) {
    this.name = name;
    this.cookies = new Map();
  }

  async send(url, options = {}) {
    const cookie = [...this.cookies].map((pair) => pair.join("=")).join("; ");
    const headers = { accept: "text/html", cookie, ...options.headers };
    const answer = await fetch(url, { ...options, headers, redirect: "manual" });
    for (const text of answer.headers.getSetCookie()) {
      const [name, value] = text.split(";")[0].split(/=(.*)/s);
      this.cookies.set(name, value);
    }
    return { url, text: await answer.text(), to: answer.headers.get("location") };
  }

  async submit(page, typed) {
    const action = unescape(page.text.match(/<form[^>]* action="([^"]*)"/)[1]);
    const fields = new URLSearchParams();
    for (const [, name, value] of page.text.matchAll(
      /<input type="hidden" name="([^"]*)" value="([^"]*)"/g,
    )) {
      fields.set(unescape(name), unescape(value));
    }
    for (const [name, value] of Object.entries(typed)) fields.set(name, value);
    return this.send(new URL(action, page.url), { method: "POST", body: fields });
  }

  async fillIn(page) {
    if (page.text.includes('id="i0116"')) {
      page = await this.submit(page, { login: this.name });
    }
    if (page.text.includes('id="i0118"')) {
      page = await this.submit(page, { passwd: process.env.PASSWORD });
    }
    return page;
  }

  // Goes where a client sends the person; the URI that the client gets back.
  async visit(url) {
    const page = await this.fillIn(await this.send(url));
    if (!page.to) throw new Error(page.text);
    return new URL(page.to);
  }

  async typeCode(place, code) {
    let page = await this.fillIn(await this.submit(await this.send(place), { otc: code }));
    if (page.text.includes("asks to be signed in")) {
      page = await this.submit(page, { agree: "yes" });
    }
    if (!page.text.includes("You have signed in")) throw new Error(page.text);
  }
}
