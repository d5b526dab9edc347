// Numbers as people read them, as codns/cli/words.py writes them too.
export const BOUNDS = Array.from({ length: 16 }, (_, n) => 0.00025 * 2 ** n);

export const took = (s) =>
  s == null ? "–" : s < 0.01 ? `${(1000 * s).toFixed(1)} ms`
    : s < 1 ? `${(1000 * s).toFixed(0)} ms` : `${s.toFixed(2)} s`;

export function lasted(s) {
  if (s == null) return "–";
  const days = Math.floor(s / 86400), hours = Math.floor(s / 3600) % 24;
  const minutes = Math.floor(s / 60) % 60;
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return minutes ? `${minutes} min` : `${Math.floor(s)} s`;
}

export const count = (n) =>
  n >= 1e9 ? `${(n / 1e9).toFixed(2)} G` : n >= 1e6 ? `${(n / 1e6).toFixed(2)} M`
    : n >= 1e4 ? `${(n / 1e3).toFixed(1)} k` : String(Math.round(n));

export const rate = (n) => (n >= 100 ? count(n) : n >= 10 || !n ? n.toFixed(0) : n.toFixed(1));

export const share = (part, whole) =>
  whole ? `${((100 * part) / whole).toFixed(1)} %` : "–";

// The q-quantile of counts by BOUNDS, values spread evenly within a bucket; null of nothing.
export function quantile(buckets, q) {
  const total = buckets.reduce((a, b) => a + b, 0);
  if (!total) return null;
  let below = 0;
  for (let i = 0; i < buckets.length; i++) {
    if (buckets[i] && below + buckets[i] >= q * total) {
      if (i >= BOUNDS.length) return BOUNDS[BOUNDS.length - 1];
      const low = i ? BOUNDS[i - 1] : 0;
      return low + ((BOUNDS[i] - low) * Math.max(0, q * total - below)) / buckets[i];
    }
    below += buckets[i];
  }
  return BOUNDS[BOUNDS.length - 1];
}

const TYPES = { 1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA",
  33: "SRV", 43: "DS", 48: "DNSKEY", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 255: "ANY", 257: "CAA" };
export const qtype = (n) => TYPES[n] || `TYPE${n}`;
