import { type Command, InvalidArgumentError, Option } from 'commander';
import { isJobType, isProcessingId } from '../../../schemas/ids.js';
import { mintToken, secretProblem } from '../../auth/shared-secret.js';
import { secondsOption } from '../flags/durations.js';
import { type CliContext, UsageError } from '../runtime/cli-context.js';

interface TokenOptions {
  readonly job?: readonly string[];
  readonly jobType?: readonly string[];
  readonly all?: true;
  readonly subject?: string;
  readonly expiresIn: number;
  readonly issuer?: string;
  readonly audience?: string;
}

const EXAMPLES = `
The secret is HEADWAY_JWT_SECRET of the environment, the same as the edge's. Only the token is written to stdout.

Examples:
  headway token --job invoice-42                     one job, for an hour
  headway token --job a --job b --expires-in 15m     two jobs, for 15 minutes
  headway token --job-type pdf.ocr --subject ada     every job of a type, for the limits of one subject
  headway token --all --expires-in 7d                every job
  curl -H "Authorization: Bearer $(headway token --all)" http://127.0.0.1:8080/v1/jobs/invoice-42
`;

/** `headway token`: makes a token for development, as an edge with the same secret takes it. */
export function addTokenCommand(program: Command, context: CliContext): void {
  program
    .command('token')
    .summary('make a token for development')
    .description(
      'Makes a token for development, signed with HS256. It opens the jobs and types that are named.',
    )
    .option('--job <id>', 'a job to open; may be repeated', addJob)
    .option('--job-type <type>', 'a type whose jobs to open; may be repeated', addType)
    .option('--all', 'open every job')
    .option('--subject <name>', "whose token it is ('sub')", subject)
    .addOption(
      new Option('--expires-in <time>', 'a number with s, m, h or d')
        .argParser(secondsOption)
        .default(3_600, '1h'),
    )
    .option('--issuer <name>', "'iss' (default: HEADWAY_JWT_ISSUER, if set)")
    .option('--audience <name>', "'aud' (default: HEADWAY_JWT_AUDIENCE, if set)")
    .addHelpText('after', EXAMPLES)
    .action((options: TokenOptions) => makeToken(options, context));
}

async function makeToken(options: TokenOptions, context: CliContext): Promise<void> {
  const { job = [], jobType = [], subject } = options;
  const all = options.all === true;
  if (!all && job.length === 0 && jobType.length === 0) {
    throw new UsageError(
      'Say what the token opens: --job ID, --job-type TYPE (both may be repeated), or --all.',
    );
  }
  if (all && job.length + jobType.length > 0) {
    throw new UsageError('--all opens every job already: leave out either --all, or --job and --job-type.');
  }
  const secret = secretOf(context.env);
  const iat = Math.floor(context.now() / 1000);
  const exp = iat + options.expiresIn;
  const iss = options.issuer ?? (context.env.HEADWAY_JWT_ISSUER || undefined);
  const aud = options.audience ?? (context.env.HEADWAY_JWT_AUDIENCE || undefined);
  const token = await mintToken(secret, {
    iat,
    exp,
    ...(subject !== undefined && { sub: subject }),
    ...(iss !== undefined && { iss }),
    ...(aud !== undefined && { aud }),
    ...(all && { jobs: ['*'] }),
    ...(job.length > 0 && { jobs: [...new Set(job)] }),
    ...(jobType.length > 0 && { job_types: [...new Set(jobType)] }),
  }).catch((error: unknown) => {
    if (error instanceof RangeError)
      throw new UsageError(`An edge would not take this token: ${error.message}.`);
    throw error;
  });
  await context.stdout(`${token}\n`);
  context.stderr(`headway: the token expires at ${new Date(exp * 1000).toISOString()}\n`);
}

function secretOf(env: CliContext['env']): string {
  const secret = env.HEADWAY_JWT_SECRET;
  const wanted = 'set it to the secret of the edge (openssl rand -base64 48 makes one)';
  if (!secret) throw new UsageError(`HEADWAY_JWT_SECRET is not set; ${wanted}.`);
  const problem = secretProblem(secret);
  if (problem !== null) throw new UsageError(`HEADWAY_JWT_SECRET ${problem}; ${wanted}.`);
  return secret;
}

function addJob(id: string, jobs: readonly string[] = []): readonly string[] {
  if (isProcessingId(id)) return [...jobs, id];
  throw new InvalidArgumentError(`Expected 1 to 128 of A-Z a-z 0-9 _ -${id === '*' ? ', or --all' : ''}.`);
}

function addType(type: string, types: readonly string[] = []): readonly string[] {
  if (isJobType(type)) return [...types, type];
  throw new InvalidArgumentError(`Expected 1 to 64 of A-Z a-z 0-9 _ . -${type === '*' ? ', or --all' : ''}.`);
}

function subject(name: string): string {
  if (name !== '' && [...name].length <= 256) return name;
  throw new InvalidArgumentError('Expected text of 1 to 256 characters.');
}
