// One line to the server that does not close while an answer is awaited.
//
// Gradio's client hears of its events on a stream that the server ends (`close_stream`) whenever
// none is under way. An event that joins at that moment is lost: its answer to `queue/join` may
// overtake the end, then the client takes the stream for open, and opens no other. So the client
// gets a stream here that never ends, and the real one is opened whenever there is something to hear.
(() => {
  const plain = window.fetch.bind(window);
  // Events that joined and have not completed; those whose end came before the answer to their join.
  const awaited = new Set();
  const early = new Set();
  let ring = () => {};

  window.fetch = async (what, how) => {
    const { pathname } = new URL(what.url ?? what, location.href);
    if (pathname.endsWith("/queue/data")) return line(new Request(what, how));
    const answer = await plain(what, how);
    if (pathname.endsWith("/queue/join") && answer.ok) {
      const { event_id } = await answer.clone().json();
      if (!early.delete(event_id)) awaited.add(event_id);
      ring();
    }
    return answer;
  };

  const line = (request) =>
    new Response(
      new ReadableStream({
        start(out) {
          listen(request, out).catch((error) => out.error(error));
        },
      }),
      { headers: { "Content-Type": "text/event-stream" } },
    );

  async function listen(request, out) {
    const encoder = new TextEncoder();
    for (;;) {
      let heard = false;
      for await (const event of events(await plain(request))) {
        const said = JSON.parse(event.slice(event.indexOf("{")));
        heard = true;
        if (said.msg === "close_stream") continue;
        // Of the stream as a whole: the page loses its connection, looks for the server, and reloads.
        if (said.msg === "unexpected_error" && !said.event_id) throw new TypeError(said.message);
        if (said.msg === "process_completed" && !awaited.delete(said.event_id)) early.add(said.event_id);
        out.enqueue(encoder.encode(`${event}\n\n`));
      }
      if (!heard) throw new TypeError("The server ended the stream without a word");
      while (!awaited.size) await new Promise((resolve) => (ring = resolve));
    }
  }

  // The events of a stream as their text: `data: {…}`.
  async function* events(answer) {
    if (!answer.ok) throw new TypeError(`The server refused the stream: ${answer.status}`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let read; !(read = await reader.read()).done; ) {
      const parts = (rest + read.value).split("\n\n");
      rest = parts.pop();
      yield* parts;
    }
  }
})();
