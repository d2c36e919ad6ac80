// The process behind webtorrent.py: one WebTorrent client, JSON lines.
// Arguments: path of webtorrent's index.js; a JSON object with host, port,
// download, upload (bytes/s or null), pex, utp, dht (addresses, or null), and secure.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [index, json] = process.argv.slice(2)
const options = JSON.parse(json)
console.log = console.error // nothing but answers on stdout
const { default: WebTorrent } = await import(pathToFileURL(index))

const client = new WebTorrent({
  dht: options.dht ? { bootstrap: options.dht, host: options.host } : false,
  dhtPort: options.dht ? options.port : 0,
  lsd: false,
  utp: options.utp,
  natUpnp: false,
  natPmp: false,
  webSeeds: true,
  utPex: options.pex,
  secure: options.secure,
  torrentPort: options.port,
  tracker: { wrtc: false },
  downloadLimit: options.download ?? -1,
  uploadLimit: options.upload ?? -1
})
client.on('error', error => console.error('client error', error))

let torrent = null
let uploaded = 0

function add (what, saveDir) {
  torrent = client.add(what, { path: saveDir, announce: [], addUID: false })
  torrent.on('error', error => console.error('torrent error', error))
  torrent.on('warning', error => console.error('torrent warning', error))
  torrent.on('upload', bytes => { uploaded += bytes })
  return null
}

const operations = {
  add_torrent: ({ path, save_dir: saveDir }) => add(readFileSync(path), saveDir),
  add_magnet: ({ uri, save_dir: saveDir }) => add(uri, saveDir),
  connect_peer: ({ host, port }) => torrent.addPeer(`${host}:${port}`) ?? null,
  status: () => ({
    done: torrent.pieces?.length ? Math.round(torrent.progress * torrent.length) : 0,
    total: torrent.length ?? 0,
    complete: Boolean(torrent.done),
    peers: torrent.wires.filter(wire => wire.remoteAddress).map(wire => `${wire.remoteAddress}:${wire.remotePort}`),
    uploaded,
    downloaded: torrent.received
  })
}

const answer = value => process.stdout.write(JSON.stringify(value) + '\n')
const pkg = JSON.parse(readFileSync(new URL('package.json', pathToFileURL(index))))

function ready () {
  answer({ ready: `webtorrent ${pkg.version}` })
  const lines = createInterface({ input: process.stdin })
  lines.on('line', line => {
    const command = JSON.parse(line)
    try {
      answer({ ok: operations[command.op](command) ?? null })
    } catch (error) {
      answer({ error: String(error) })
    }
  })
  lines.on('close', () => process.exit(0))
}
if (client.listening) ready()
else client.once('listening', ready)
process.on('SIGTERM', () => process.exit(0))
