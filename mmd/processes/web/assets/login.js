"use strict";

document.getElementById("login").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const fault = document.getElementById("fault");
  fault.textContent = "";
  const answer = await fetch("/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: document.getElementById("token").value }),
  });
  if (answer.ok) location.replace("/");
  else fault.textContent = await answer.text();
});
