"use strict";
// Asks the browser for a security key, and hands what it says on with the form.
(() => {
  const form = document.getElementById("security-key");
  const problem = document.getElementById("security-key-problem");
  const bytes = (text) => {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (letter) => letter.charCodeAt(0)).buffer;
  };
  const text = (buffer) => {
    const plain = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
    return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  const readable = (options) => {
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    for (const list of [options.allowCredentials, options.excludeCredentials])
      for (const one of list || []) one.id = bytes(one.id);
    return options;
  };
  const told = (credential) => {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"])
      if (credential.response[name]) response[name] = text(credential.response[name]);
    return JSON.stringify({
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response,
      extensions: {},
    });
  };
  form.addEventListener("submit", async (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    problem.hidden = true;
    try {
      const publicKey = readable(JSON.parse(form.dataset.options));
      const credentials = navigator.credentials;
      const credential = form.dataset.verb === "create"
        ? await credentials.create({ publicKey })
        : await credentials.get({ publicKey });
      form.elements.credential.value = told(credential);
      form.requestSubmit();
    } catch (error) {
      problem.textContent = error.name === "InvalidStateError"
        ? "This key is registered already."
        : "No key answered. Try again, or choose another way.";
      problem.hidden = false;
    }
  });
})();
