/** What an edge says of itself at `/metrics`. */

/** All of it, as text. */
export async function metricsText(http: string): Promise<string> {
  return await (await fetch(`${http}/metrics`)).text();
}

/**
 * The value of a metric, summed over its labels.
 * @param http the edge's base URL
 * @param name also with labels, as they are written: `headway_feed_lost_total{reason="closed"}`
 * @param ifAbsent what it is when the edge has no such metric; an error when not given
 */
export async function metric(http: string, name: string, ifAbsent?: number): Promise<number> {
  const values = valuesOf(await metricsText(http), name);
  if (values.length > 0) return values.reduce((sum, value) => sum + value, 0);
  if (ifAbsent === undefined) throw new Error(`the edge has no metric ${name}`);
  return ifAbsent;
}

/** The values of a metric by its one label. */
export async function metricByLabel(http: string, name: string): Promise<Record<string, number>> {
  const found = (await metricsText(http)).matchAll(new RegExp(`^${name}\\{\\w+="([^"]*)"\\} (\\S+)$`, 'gm'));
  return Object.fromEntries([...found].map(([, label, value]) => [String(label), Number(value)]));
}

function valuesOf(text: string, name: string): number[] {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return lines.map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)));
}
