import type { Command } from 'commander';
import { printable } from '../../../schemas/text.js';
import { HeadwayError } from '../../errors.js';
import { addOutputOption, type OutputFlag } from '../flags/filters.js';
import { type CliContext, UsageError, VERSION } from '../runtime/cli-context.js';
import { addNatsOptions, type NatsFlags, withNats } from '../runtime/nats.js';

interface VersionFlags extends NatsFlags, OutputFlag {
  readonly client?: true;
}

const EXAMPLES = `
That NATS cannot be reached is said, and is no failure of this command: its exit code is 0 all the same.

Examples:
  headway version
  headway version --client                           without asking NATS, as headway --version
  headway version -o json | jq -r .nats_server
`;

/** `headway version`: of this program, and of the nats-server where it can be reached. */
export function addVersionCommand(program: Command, context: CliContext): void {
  const command = program
    .command('version')
    .summary('show the versions of headway and of the nats-server')
    .description(
      'Shows the version of this program, of Node, and of the nats-server, where it can be reached.',
    )
    .option('--client', 'do not ask NATS');
  addOutputOption(addNatsOptions(command), ['table', 'json'])
    .addHelpText('after', EXAMPLES)
    .action((flags: VersionFlags) => showVersion(flags, context));
}

async function showVersion(flags: VersionFlags, context: CliContext): Promise<void> {
  const server = flags.client ? null : await askServer(flags, context);
  const node = process.versions.node;
  if (flags.output === 'json') {
    const document = {
      headway: VERSION,
      node,
      nats_server: server?.version ?? null,
      ...(server?.error != null && { error: server.error }),
    };
    await context.stdout(`${JSON.stringify(document)}\n`);
    return;
  }
  const nats = server?.version == null ? '' : `nats-server ${printable(server.version)} at ${server.where}\n`;
  await context.stdout(`headway ${VERSION}\nnode ${node}\n${nats}`);
  if (server?.error != null) context.stderr(`headway: ${server.error}\n`);
}

interface Server {
  readonly version: string | null;
  readonly where: string;
  readonly error: string | null;
}

async function askServer(flags: NatsFlags, context: CliContext): Promise<Server> {
  try {
    return await withNats(context, flags, 'headway version', async ({ connection, shownUrl }) => ({
      version: connection.info?.version ?? null,
      where: shownUrl,
      error: null,
    }));
  } catch (error) {
    // A mistake of whoever calls it is one here, too.
    if (error instanceof UsageError || !(error instanceof HeadwayError)) throw error;
    return { version: null, where: '', error: error.message };
  }
}
