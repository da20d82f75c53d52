import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import {
  addFilterOptions,
  addSinceOptions,
  addStartSequenceOption,
  addUntilOption,
  jobIdArgument,
} from '../../flags/filters.js';
import type { CliContext } from '../../runtime/cli-context.js';
import { addNatsOptions, type NatsFlags, withStream } from '../../runtime/nats.js';
import { checkOptions, type ExportOptions, exportStored } from './exporter.js';

const DETAILS = `
One line of JSON for each message, in the order of the stream:
  {"seq":17,"epoch":"...","stored_at":"2026-03-01T03:00:00.000Z","event":{...}}
"event" is what the worker wrote, to the letter. A message that is no event is a line as well, unless --valid-only:
  {"seq":18,"epoch":"...","stored_at":"...","subject":"progress.a","invalid":{"reason":"not_json","detail":"..."},"body_base64":"..."}
How many there were is said on stderr. It has neither a type nor a status: --job-type and --status leave it out.
The end is the newest message as of the start.

With --to FILE the file always ends with a whole line. --resume goes on after its last line, wherever the export before
it was stopped, and cuts off what a killed one or a full disk left of a torn line; it begins when there is no file yet.
It refuses a file of another incarnation of the stream ("epoch"), and says when what comes next was lost to retention
(--allow-gap goes on all the same). Give the same job, --job-type and --status again; where it begins is known.

Examples:
  headway export > all.ndjson                                     everything that the stream keeps
  headway export invoice-42 | jq -r .event.message                one job
  headway export --since 1d --status error > errors.ndjson        what failed since yesterday
  headway export --to backup.ndjson --resume                      what has come since the last time
  headway export --since-time 2026-03-01T02:00:00Z --until 2026-03-01T04:00:00Z --to trouble.ndjson
`;

interface Flags extends NatsFlags, Omit<ExportOptions, 'id' | 'file' | 'mode'> {
  readonly to?: string;
  readonly resume?: true;
  readonly overwrite?: true;
}

/** `headway export`: stored events as NDJSON, to stdout or a file that it can go on with. */
export function addExportCommand(program: Command, context: CliContext): void {
  const command = program
    .command('export')
    .summary('write stored events as NDJSON, to stdout or a file')
    .description('Writes what the stream keeps as NDJSON: of one job, or of all.')
    .addArgument(
      new Argument('[id]', "a job's processing_id; all jobs when it is left out").argParser(jobIdArgument),
    );
  addSinceOptions(command);
  addUntilOption(command);
  addStartSequenceOption(command);
  addFilterOptions(command);
  command
    .option('--valid-only', 'leave out messages that are no events')
    .addOption(new Option('--to <file>', 'write to this file instead of stdout').argParser(fileName))
    .addOption(new Option('--resume', 'go on after the last line of the file').conflicts('overwrite'))
    .option('--overwrite', 'begin the file anew')
    .option('--allow-gap', 'go on where what comes next was lost to retention');
  addNatsOptions(command)
    .addHelpText('after', DETAILS)
    .action(async (id: string | undefined, flags: Flags) => {
      const { to, resume, overwrite, ...rest } = flags;
      const mode = resume ? 'resume' : overwrite ? 'overwrite' : 'new';
      const options: ExportOptions = { ...rest, id: id ?? null, file: to ?? null, mode };
      checkOptions(options, context.now());
      await withStream(context, flags, 'export', (opened) => exportStored(opened, options));
    });
}

function fileName(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('Expected the name of a file.');
}
