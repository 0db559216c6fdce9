/* Waits until something holds: asked again and again, with a limit. An error that it throws counts as not yet; the last one is told. */
import { setTimeout as pause } from 'node:timers/promises'

export async function eventually(test, { seconds = 30, what = 'what was waited for' } = {}) {
  const until = Date.now() + seconds * 1000
  let why = ''

  for (;;) {
    try {
      const result = await test()

      if (result) return result
    } catch (error) {
      why = `: ${error.message}`
    }
    if (Date.now() > until) throw new Error(`${what} did not come within ${seconds} s${why}`)
    await pause(20)
  }
}
