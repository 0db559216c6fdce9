/* What the property tests share: how many cases, and looking at a folder. */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/* Cases per property; a failure prints seed and path, and fc.assert shrinks it. UNSHIP_CASES raises it. */
export const cases = (usual) => ({ numRuns: Number(process.env.UNSHIP_CASES ?? usual), includeErrorInReport: true, interruptAfterTimeLimit: 300000, markInterruptAsFailure: true })

/* path -> hash of every file below, without unship's own store (its entries are meant to change). */
export function fingerprint(dir, skip = (path) => path.includes('.deployments/unship.db')) {
  const found = {}
  const walk = (folder) => {
    for (const name of readdirSync(folder).sort()) {
      const path = join(folder, name)
      const stat = lstatSync(path)
      if (stat.isDirectory()) walk(path)
      else if (stat.isFile() && !skip(path)) found[path.slice(dir.length)] = createHash('sha256').update(readFileSync(path)).digest('hex') + (stat.mode & 0o777).toString(8)
    }
  }
  walk(dir)
  return found
}
