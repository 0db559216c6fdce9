/* A client of server-sent events for tests: keeps what came, and lets a test wait for it. */
import { request } from 'node:http'

export class EventStream {
  constructor() {
    this.events = []
    this.comments = []
    this.lastId = undefined
    this.ended = false
    this.waiters = []
  }

  /* Resolves when the head of the answer is there: {status, headers}; the body of an answer that is no stream is in `body`. */
  static open(url, { token, lastId, headers = {} } = {}) {
    const stream = new EventStream()

    stream.lastId = lastId === undefined ? undefined : String(lastId)
    return new Promise((done, fail) => {
      stream.request = request(url, {
        agent: false,
        headers: {
          ...(token ? { Authorization: `Bearer ${token}` } : {}),
          ...(lastId === undefined ? {} : { 'Last-Event-ID': String(lastId) }), ...headers,
        },
      }, (response) => {
        let text = ''

        stream.status = response.statusCode
        stream.headers = response.headers
        stream.body = ''
        response.setEncoding('utf8')
        response.on('data', (part) => {
          stream.body += part
          text += part
          const frames = text.split('\n\n')
          text = frames.pop()
          frames.forEach((frame) => stream.take(frame))
          stream.notify()
        })
        const end = () => { stream.ended = true; stream.notify() }
        response.on('end', end)
        response.on('close', end)
        response.on('error', end)
        if (response.statusCode === 200) done(stream)
        else response.on('end', () => done(stream))
      })
      stream.request.on('error', (error) => { stream.ended = true; stream.notify(); fail(error) })
      stream.request.end()
    })
  }

  take(frame) {
    const event = { data: [] }

    for (const line of frame.split('\n')) {
      const colon = line.indexOf(':')
      const [name, value] = colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')]

      if (name === '') this.comments.push(value)
      else if (name === 'id') this.lastId = value
      else if (name === 'retry') this.retry = Number(value)
      else if (name === 'event') event.kind = value
      else if (name === 'data') event.data.push(value)
    }
    if (event.data.length === 0) return
    this.events.push({ id: Number(this.lastId), kind: event.kind, data: JSON.parse(event.data.join('\n')) })
  }

  notify() {
    this.waiters = this.waiters.filter(({ test, done }) => !(test(this) && (done(this), true)) )
  }

  /* Until `test(stream)` is true, or the limit is over. */
  until(test, { seconds = 20, what = 'what was waited for' } = {}) {
    if (test(this)) return Promise.resolve(this)
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`${what} did not come; ${this.events.length} events, the last ${JSON.stringify(this.events.at(-1))}`)), seconds * 1000)

      this.waiters.push({ test, done: (value) => { clearTimeout(timer); done(value) } })
    })
  }

  close() {
    this.request.destroy()
  }
}
