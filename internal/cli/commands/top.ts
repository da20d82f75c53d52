import type { Command } from 'commander';
import { addColorOption } from '../flags/command-line.js';
import { addJobTypeOption, addTimestampsOption } from '../flags/filters.js';
import type { CliContext } from '../runtime/cli-context.js';
import { addNatsOptions, withNats } from '../runtime/nats.js';
import { list } from './list/list.js';
import type { ListOptions } from './list/options.js';

type TopOptions = Omit<ListOptions, 'output' | 'follow' | 'status' | 'limit'>;

const EXAMPLES = `
It is headway list --follow --status unfinished: on a terminal the jobs that are not finished, redrawn as they change,
until Ctrl-C; elsewhere a line for each change. How many there are of each, says headway stats.

Examples:
  headway top
  headway top --type pdf.ocr
`;

/** `headway top`: what runs now, as it changes. */
export function addTopCommand(program: Command, context: CliContext): void {
  const command = program
    .command('top')
    .summary('watch the jobs that are not finished')
    .description('Shows the jobs that are not finished, and redraws them as they change.');
  addJobTypeOption(command);
  addTimestampsOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((options: TopOptions) =>
      withNats(context, options, 'headway top', (access) =>
        list(context, access, { ...options, output: 'table', follow: true, status: ['unfinished'] }),
      ),
    );
}
