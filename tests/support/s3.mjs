/* A small S3-compatible store for tests: objects in a folder, PUT, GET and ListObjectsV2 with pages of 7 keys. Signatures (AWS, version 4) are made again by another implementation and compared, body included.
 * It runs in a process of its own (`node s3.mjs DIR`), because tests wait for the program under test. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const accessKey = 'AKIDTESTONLY', secretKey = 'a secret that is only for tests/+='
const PAGE = 7, BUCKET = 'backups', REGION = 'eu-central-1'

const files = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]))

function serve(dir) {
  const aws4 = createRequire(import.meta.url)('aws4')
  const fail = (response, status, code) => response.writeHead(status).end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`)

  const signed = (request, body) => {
    const names = /SignedHeaders=([^,]+)/.exec(request.headers.authorization ?? '')?.[1].split(';') ?? []
    const headers = Object.fromEntries(names.map((name) => [name, request.headers[name]]))

    if (!names.includes('host') || !names.includes('x-amz-date') || headers['x-amz-content-sha256'] !== createHash('sha256').update(body).digest('hex')) return false
    const again = aws4.sign({ host: request.headers.host, method: request.method, path: request.url, service: 's3', region: REGION, headers, body: body.length ? body : undefined, extraHeadersToIgnore: { 'content-length': true } }, { accessKeyId: accessKey, secretAccessKey: secretKey })
    return again.headers.Authorization === request.headers.authorization
  }
  const list = (query, response) => {
    const prefix = query.get('prefix') ?? '', after = query.get('continuation-token') ? Buffer.from(query.get('continuation-token'), 'base64').toString() : ''
    const keys = files(dir).map((path) => relative(dir, path)).filter((key) => key.startsWith(prefix) && key > after).sort()
    const page = keys.slice(0, PAGE), more = keys.length > PAGE

    response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${BUCKET}</Name><IsTruncated>${more}</IsTruncated>${page.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`).join('')}${more ? `<NextContinuationToken>${Buffer.from(page.at(-1)).toString('base64')}</NextContinuationToken>` : ''}</ListBucketResult>`)
  }
  const answer = (request, response, body) => {
    const url = new URL(request.url, 'http://s3')
    const [, bucket, ...rest] = url.pathname.split('/'), key = rest.join('/'), path = join(dir, key)

    if (!signed(request, body)) return fail(response, 403, 'SignatureDoesNotMatch')
    if (bucket !== BUCKET) return fail(response, 404, 'NoSuchBucket')
    if (request.method === 'GET' && !key) return list(url.searchParams, response)
    if (request.method === 'PUT') {
      if (existsSync(join(dir, '.full'))) return fail(response, 507, 'NoSpace')
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, body)
      return response.writeHead(200).end()
    }
    if (request.method !== 'GET') return fail(response, 405, 'MethodNotAllowed')
    if (!existsSync(path) || !statSync(path).isFile()) return fail(response, 404, 'NoSuchKey')
    return response.writeHead(200).end(readFileSync(path))
  }
  const server = createServer((request, response) => {
    const parts = []

    request.on('data', (part) => parts.push(part))
    request.on('end', () => answer(request, response, Buffer.concat(parts)))
  })
  server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
}

/* {url, dir, stop()}; `dir` holds the bucket's objects as files. */
export async function startS3(dir) {
  mkdirSync(dir, { recursive: true })
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  const port = await new Promise((done, fail) => {
    child.stdout.once('data', (text) => done(Number(text)))
    child.once('exit', (code) => fail(new Error(`the store ended with ${code}`)))
  })

  return { url: `http://127.0.0.1:${port}`, bucket: BUCKET, region: REGION, dir, stop: () => child.kill('SIGKILL') }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(process.argv[2])
