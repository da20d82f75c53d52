import { type Command, InvalidArgumentError, Option } from 'commander';
import type { StreamConfig } from 'nats';
import { StreamMismatchError, StreamNotFoundError } from '../../errors.js';
import { ensureStream, streamConfig, streamDifferences } from '../../jetstream/stream.js';
import { addOutputOption, type OutputFlag } from '../flags/filters.js';
import { type CliContext, UsageError } from '../runtime/cli-context.js';
import { addNatsOptions, type NatsFlags, type StreamAccess, streamInfo, withNats } from '../runtime/nats.js';
import { ownChoices } from './doctor/stream-facts.js';

interface InitFlags extends NatsFlags, OutputFlag {
  readonly dryRun?: true;
  readonly replicas?: number;
}

const MAX_REPLICAS = 5;

const MORE = `
A stream that exists is never changed. It is compared with what Headway needs: a field that must be otherwise is an error
that names it (exit code 1), and settings of your own are listed. An edge does the same at its start.

Examples:
  headway init --dry-run                  show the stream that would be made
  headway init --replicas 3               make it with three copies, in a cluster
  headway init -o json --dry-run | jq .config
`;

/** `headway init`: makes the stream, or checks the one that is there. */
export function addInitCommand(program: Command, context: CliContext): void {
  const command = program
    .command('init')
    .summary('make the stream, or check the one that is there')
    .description('Makes the stream that Headway needs, or checks the one that is there.')
    .option('--dry-run', 'change nothing, and show what would be made')
    .addOption(
      new Option(
        '--replicas <n>',
        'copies, when it has to be made (HEADWAY_STREAM_REPLICAS; default: 1)',
      ).argParser(replicasOption),
    );
  addOutputOption(addNatsOptions(command), ['table', 'json'])
    .addHelpText('after', MORE)
    .action((flags: InitFlags) =>
      withNats(context, flags, 'headway init', (access) => init(access, flags, context)),
    );
}

type Outcome = 'exists' | 'made' | 'would_be_made' | 'mismatch';

async function init(access: StreamAccess, flags: InitFlags, context: CliContext): Promise<void> {
  const spec = { name: access.stream, replicas: flags.replicas ?? replicasOf(context.env) };
  const existing = await configOf(access);
  if (existing === null) {
    if (flags.dryRun) {
      await tell(context, flags, 'would_be_made', streamConfig(spec));
      return;
    }
    const { config } = await ensureStream(access.jsm, spec, access.shownUrl);
    await tell(context, flags, 'made', config);
    return;
  }
  const differences = streamDifferences(existing, spec);
  if (differences.length > 0) {
    if (flags.output === 'json') await tell(context, flags, 'mismatch', existing);
    throw new StreamMismatchError(access.stream, differences);
  }
  await tell(context, flags, 'exists', existing);
  const { num_replicas } = existing;
  if (flags.replicas !== undefined && num_replicas !== flags.replicas) {
    context.stderr(
      `headway: it has ${num_replicas} of the ${flags.replicas} copies; change that with nats stream edit ${access.stream} --replicas ${flags.replicas}\n`,
    );
  }
}

async function configOf(access: StreamAccess): Promise<StreamConfig | null> {
  try {
    return (await streamInfo(access)).config;
  } catch (error) {
    if (error instanceof StreamNotFoundError) return null;
    throw error;
  }
}

async function tell(
  context: CliContext,
  { output }: OutputFlag,
  outcome: Outcome,
  config: Partial<StreamConfig> & { name: string },
): Promise<void> {
  const full = config as StreamConfig;
  const isThere = outcome === 'exists' || outcome === 'mismatch';
  const choices = isThere ? ownChoices(full) : [];
  if (output === 'json') {
    const differences = isThere
      ? streamDifferences(full, { name: config.name, replicas: full.num_replicas })
      : [];
    const rows = (list: typeof choices): object[] =>
      list.map(({ field, is, shouldBe }) => ({ field, is, should_be: shouldBe }));
    const document = { outcome, differences: rows(differences), choices: rows(choices), config };
    await context.stdout(`${JSON.stringify(document, null, 2)}\n`);
    return;
  }
  const words: Readonly<Record<Outcome, string>> = {
    exists: `The stream ${config.name} is there, and as Headway needs it.`,
    made: `The stream ${config.name} was made.`,
    would_be_made: `The stream ${config.name} would be made:`,
    mismatch: '',
  };
  const lines = [words[outcome]];
  if (outcome === 'would_be_made') lines.push(JSON.stringify(config, null, 2));
  for (const { field, is, shouldBe } of choices) {
    lines.push(
      `  ${field} is ${JSON.stringify(is)}, Headway makes it ${JSON.stringify(shouldBe)}: yours to choose`,
    );
  }
  await context.stdout(`${lines.join('\n')}\n`);
}

function replicasOption(text: string): number {
  const value = /^\d$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= MAX_REPLICAS) return value;
  throw new InvalidArgumentError(`Expected an integer from 1 to ${MAX_REPLICAS}.`);
}

function replicasOf(env: CliContext['env']): number {
  const text = env.HEADWAY_STREAM_REPLICAS;
  if (!text) return 1;
  try {
    return replicasOption(text);
  } catch {
    throw new UsageError(
      `HEADWAY_STREAM_REPLICAS is "${text}"; expected an integer from 1 to ${MAX_REPLICAS}.`,
    );
  }
}
