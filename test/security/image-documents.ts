// SPDX-License-Identifier: MIT
// Documents of images that lie, the same in archives and from registries.
import { kMediaType } from '../../lib/oci/image-config.ts'
import { Blobs, type Json, kConfig, kLayer, type LooseDescriptor } from './hostile-images.ts'

/** An image that must be refused, and why. */
export interface HostileImage {
  readonly blobs: Blobs
  readonly root: LooseDescriptor
  readonly reason: RegExp
}

const kDeep = 100_000

/** All kinds of images that are refused for what their documents say. */
export function hostileImages(): Record<string, HostileImage> {
  return { ...manifests(), ...descriptors(), ...configs() }
}

function image(reason: RegExp, make: (blobs: Blobs) => LooseDescriptor): HostileImage {
  const blobs = new Blobs()
  return { blobs, root: make(blobs), reason }
}

function manifests(): Record<string, HostileImage> {
  const layers = (count: number): HostileImage =>
    image(/more than 131072 values|field 'layers'|at most 4194304/, (blobs) =>
      blobs.manifest({ layers: Array.from({ length: count }, () => blobs.layer()) }),
    )
  const deep = (open: string, close: string): HostileImage =>
    image(/values|is not JSON|field 'config'/, (blobs) => {
      const text = `{"schemaVersion":2,"x":${open.repeat(kDeep)}1${close.repeat(kDeep)}}`
      return blobs.put(kMediaType.manifest, text)
    })
  return {
    'a manifest of 10,000 layers': layers(10_000),
    'a manifest of 100,000 layers': layers(100_000),
    'lists in lists in lists': deep('[', ']'),
    'objects in objects in objects': deep('{"x":', '}'),
    'a manifest of many values': image(/more than 131072 values/, (blobs) =>
      blobs.put(kMediaType.manifest, `{"schemaVersion":2,"x":[${'1,'.repeat(1_000_000)}1]}`),
    ),
    'a manifest that is no JSON': image(/is not JSON/, (blobs) => blobs.put(kMediaType.manifest, 'top secret')),
    'a manifest that is no UTF-8': image(/is not JSON in UTF-8/, (blobs) =>
      blobs.put(kMediaType.manifest, Buffer.from([0x22, 0xff, 0xfe, 0x22])),
    ),
    'a manifest that is null': image(/is not valid/, (blobs) => blobs.put(kMediaType.manifest, 'null')),
    'indexes nested a thousand deep': image(/nested too deep/, (blobs) => blobs.nested(1000)),
    'an index of nothing': image(/no variant for|names no image/, (blobs) => blobs.index([])),
    'an index of no list': image(/field 'manifests'/, (blobs) => blobs.index('all')),
  }
}

function descriptors(): Record<string, HostileImage> {
  const sizes: Record<string, unknown> = {
    negative: -1,
    'a fraction': 1.5,
    'not a number': 'NaN',
    'beyond 2⁵³': 2 ** 53,
    'of a thousand digits': `@${'9'.repeat(1000)}@`,
    nothing: null,
  }
  const digests: Record<string, unknown> = {
    md5: 'md5:d41d8cd98f00b204e9800998ecf8427e',
    'of upper case': `sha256:${'A'.repeat(64)}`,
    'too short': 'sha256:abcd',
    'a path': 'sha256:../../../../etc/passwd',
    'with a newline': `sha256:${'a'.repeat(64)}\n`,
    'an object': { toString: 'x' },
  }
  const found: Record<string, HostileImage> = {}
  for (const place of ['config', 'layers'] as const) {
    const lying = (reason: RegExp, fields: Json): HostileImage =>
      image(reason, (blobs) => {
        const usual = place === 'config' ? blobs.config() : blobs.layer()
        const wrong = { ...usual, ...fields }
        const text = JSON.stringify({
          schemaVersion: 2,
          config: place === 'config' ? wrong : blobs.config(),
          layers: [place === 'layers' ? wrong : blobs.layer()],
        }).replace(/"@(\d+)@"/, '$1')
        return blobs.put(kMediaType.manifest, text)
      })
    const field = (name: string): RegExp =>
      new RegExp(`field '${place === 'config' ? 'config' : 'layers\\.0'}\\.${name}' is not valid`)
    for (const [name, size] of Object.entries(sizes)) found[`${place}: a size ${name}`] = lying(field('size'), { size })
    for (const [name, digest] of Object.entries(digests)) {
      found[`${place}: a digest ${name}`] = lying(field('digest'), { digest })
    }
  }
  return found
}

function configs(): Record<string, HostileImage> {
  const config = (reason: RegExp, content: Buffer | string | Json): HostileImage =>
    image(reason, (blobs) => blobs.manifest({ config: blobs.config(content) }))
  return {
    'a configuration of 100 MB': config(
      /bytes long; at most 8388608|longer than 8388608/,
      Buffer.alloc(100_000_000, ' '),
    ),
    'a configuration without layers': config(/1 layers, but its configuration names 0/, {
      ...kConfig,
      rootfs: { type: 'layers' },
    }),
    'a configuration of more layers': config(/1 layers, but its configuration names 1000/, {
      ...kConfig,
      rootfs: { type: 'layers', diff_ids: Array.from({ length: 1000 }, () => `sha256:${'0'.repeat(64)}`) },
    }),
    'a layer of another content': config(/does not match/, {
      ...kConfig,
      rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] },
    }),
  }
}

/** An image that is good, though its documents name what objects have from their prototype. */
export function oddImage(): { blobs: Blobs; root: LooseDescriptor } {
  const blobs = new Blobs()
  const proto = '"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}}'
  const labels = '"Labels":{"__proto__":"a","constructor":"b","toString":"c"}'
  const rootfs = JSON.stringify(kConfig.rootfs)
  const config = blobs.config(
    `{${proto},"os":"linux","architecture":"amd64","config":{${proto},${labels}},"rootfs":${rootfs}}`,
  )
  const text = JSON.stringify({ schemaVersion: 2, config, layers: [blobs.layer(kLayer)] })
  return { blobs, root: blobs.put(kMediaType.manifest, `{${proto},"annotations":{"__proto__":"a"},${text.slice(1)}`) }
}
