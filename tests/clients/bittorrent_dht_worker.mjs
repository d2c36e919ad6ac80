// The process behind bittorrent_dht.py: one node of npm's bittorrent-dht, JSON lines.
// Arguments: path of its index.js; a JSON object with host, port, and bootstrap
// (addresses, or null for none).
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [index, json] = process.argv.slice(2)
const options = JSON.parse(json)
console.log = console.error // nothing but answers on stdout
const { default: DHT } = await import(pathToFileURL(index))

// Ed25519 of node itself, in the forms that it wants keys in (RFC 8410).
const secretKey = seed => createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8'
})
const publicKey = raw => createPublicKey({
  key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(raw)]), format: 'der', type: 'spki'
})
const rawPublic = secret => createPublicKey(secret).export({ format: 'der', type: 'spki' }).subarray(-32)

const dht = new DHT({
  bootstrap: options.bootstrap ?? false,
  verify: (signature, value, key) => verify(null, Buffer.from(value), publicKey(key), Buffer.from(signature))
})
dht.on('error', error => console.error('dht error', error))

const operations = {
  dht_joined: (_, done) => done(null, dht.toJSON().nodes.length > 0),
  announce: ({ infohash, port }, done) => dht.announce(infohash, port, error => done(error, null)),
  lookup: ({ infohash }, done) => {
    const peers = []
    const found = peer => peers.push(`${peer.host}:${peer.port}`)
    dht.on('peer', found)
    dht.lookup(infohash, error => {
      dht.removeListener('peer', found)
      done(error, peers)
    })
  },
  dht_put: ({ text, seed, salt, infohash }, done) => {
    if (!seed) return dht.put({ v: Buffer.from(text) }, (error, hash) => done(error, hash?.toString('hex')))
    const secret = secretKey(Buffer.from(seed, 'hex'))
    const k = rawPublic(secret)
    const v = infohash ? { ih: Buffer.from(infohash, 'hex') } : Buffer.from(text)
    const item = { k, v, seq: 1, sign: bytes => sign(null, Buffer.from(bytes), secret) }
    if (salt) item.salt = Buffer.from(salt)
    dht.put(item, error => done(error, k.toString('hex')))
  },
  dht_get: ({ target, salt }, done) => {
    const key = Buffer.from(target, 'hex')
    const place = key.length === 20 ? key : createHash('sha1').update(key).update(salt ?? '').digest()
    const extra = salt ? { salt: Buffer.from(salt), cache: false } : { cache: false }
    dht.get(place, extra, (error, found) => done(error, found ? Buffer.from(found.v).toString() : null))
  }
}

const answer = value => process.stdout.write(JSON.stringify(value) + '\n')
const pkg = JSON.parse(readFileSync(new URL('package.json', pathToFileURL(index))))
dht.listen(options.port, options.host, () => {
  answer({ ready: `bittorrent-dht ${pkg.version}` })
  const lines = createInterface({ input: process.stdin })
  lines.on('line', line => {
    const { op, ...command } = JSON.parse(line)
    try {
      operations[op](command, (error, value) => answer(error ? { error: String(error) } : { ok: value ?? null }))
    } catch (error) {
      answer({ error: String(error) })
    }
  })
  lines.on('close', () => process.exit(0))
})
process.on('SIGTERM', () => process.exit(0))
