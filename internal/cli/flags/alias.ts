import { type Command, Option } from 'commander';

/** A second name of an option. What it leaves in the command's options, it leaves under the first name. */
class AliasOption extends Option {
  readonly #original: Option;

  constructor(flags: string, original: Option) {
    super(flags, original.description);
    this.#original = original;
    if (original.parseArg !== undefined) this.argParser(original.parseArg);
    // One line of the help is enough: that of the first name tells of the second.
    this.hideHelp();
  }

  override attributeName(): string {
    return this.#original.attributeName();
  }
}

/**
 * Adds a second name to an option that the command has.
 * @param flags as commander writes them, with the same kind of value: `--type <type>`
 * @param long the first name, such as `--job-type`
 * @throws RangeError when the command has no such option
 */
export function addAlias(command: Command, flags: string, long: string): Command {
  const original = command.options.find((one) => one.long === long);
  if (original === undefined) throw new RangeError(`${command.name()} has no option ${long}`);
  return command.addOption(new AliasOption(flags, original));
}

/** `-f, --follow`, and `-w, --watch` for hands that are used to it. */
export function addFollowOption(command: Command, description: string): Command {
  return addAlias(
    command.option('-f, --follow', `${description} (also -w, --watch)`),
    '-w, --watch',
    '--follow',
  );
}
