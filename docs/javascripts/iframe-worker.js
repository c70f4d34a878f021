// Browsers start no worker for a page that is opened from a file; the search then runs in a hidden frame of the page.
class FrameWorker extends EventTarget {
  constructor(url) {
    super()
    const frame = document.body.appendChild(document.createElement("iframe"))
    frame.hidden = true
    this.scope = frame.contentWindow
    this.scope.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
    const script = frame.contentDocument.createElement("script")
    script.src = url
    this.loaded = new Promise(resolve => { script.onload = resolve })
    frame.contentDocument.body.append(script)
  }

  postMessage(data) {
    this.loaded.then(() => this.scope.dispatchEvent(new MessageEvent("message", { data })))
  }
}

if (location.protocol === "file:") window.Worker = FrameWorker
