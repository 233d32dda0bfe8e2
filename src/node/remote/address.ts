/** Which addresses are of the public internet: what a stranger's link leads to must not be a machine of one's own network. */
import { BlockList, isIPv4 } from 'node:net';

/** Not globally reachable, by IANA's registry of special purpose IPv4 addresses (RFC 6890 and what followed it), and multicast. */
const SPECIAL_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
];
/** Within the global unicast addresses 2000::/3: protocols (Teredo among them), examples, 6to4. */
const SPECIAL_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];
const GLOBAL_IPV6 = ['2000::/3'];
/** IPv4 addresses as networks without IPv4 write them (RFC 6052), and as sockets do. */
const HOLDS_IPV4 = ['64:ff9b::/96', '::ffff:0:0/96'];

/** Of the link itself, and where clouds tell a machine its own secrets beyond it (Amazon's by IPv6, Alibaba's). */
const LINK_IPV4 = ['169.254.0.0/16', '100.100.100.200/32'];
const LINK_IPV6 = ['fe80::/10', 'fd00:ec2::254/128'];

const link = { ipv4: listOf(LINK_IPV4, 'ipv4'), ipv6: listOf(LINK_IPV6, 'ipv6') };
const special = { ipv4: listOf(SPECIAL_IPV4, 'ipv4'), ipv6: listOf(SPECIAL_IPV6, 'ipv6') };
const globalIPv6 = listOf(GLOBAL_IPV6, 'ipv6');
const holdsIPv4 = listOf(HOLDS_IPV4, 'ipv6');

/** @param address numbers, without brackets; a zone makes it a link's own */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !special.ipv4.check(address, 'ipv4');
  if (address.includes('%')) return false;
  const inner = ipv4Within(address);
  if (inner !== null) return isPublicAddress(inner);
  return globalIPv6.check(address, 'ipv6') && !special.ipv6.check(address, 'ipv6');
}

/** Whether it is one that no model is fetched from, whatever else is allowed. @param address as above */
export function isLinkLocal(address: string): boolean {
  if (isIPv4(address)) return link.ipv4.check(address, 'ipv4');
  const plain = address.replace(/%.*$/, '');
  const inner = ipv4Within(plain);
  return inner === null ? link.ipv6.check(plain, 'ipv6') : isLinkLocal(inner);
}

function ipv4Within(address: string): string | null {
  // Spelt as hexadecimal groups, whatever it was spelt as.
  const groups = new URL(`http://[${address}]/`).hostname.slice(1, -1).split(':');
  if (!holdsIPv4.check(address, 'ipv6')) return null;
  return groups
    .slice(-2)
    .map((group) => Number.parseInt(group || '0', 16))
    .flatMap((value) => [value >> 8, value & 255])
    .join('.');
}

function listOf(subnets: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [net, prefix] = subnet.split('/');
    list.addSubnet(net!, Number(prefix), family);
  }
  return list;
}
