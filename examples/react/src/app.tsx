import { ProgressBar, useJob } from '@headway/react';
import { type FormEvent, type ReactElement, useState } from 'react';

interface Upload {
  readonly job: string;
  readonly name: string;
}

/** The result of the jobs of examples/express. */
interface Compressed {
  readonly bytes: number;
  readonly compressed: number;
}

async function upload(file: File): Promise<Upload> {
  const body = new FormData();
  body.set('file', file);
  const answer = await fetch('/files', { method: 'POST', body });
  const { job, error } = (await answer.json()) as { job: string; error?: string };
  if (!answer.ok) throw new Error(`${file.name}: ${error}`);
  return { job, name: file.name };
}

export function App(): ReactElement {
  const [uploads, setUploads] = useState<readonly Upload[]>([]);
  const [problem, setProblem] = useState('');

  const submit = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    setProblem('');
    const files = new FormData(event.currentTarget).getAll('file') as File[];
    for (const file of files) {
      try {
        const added = await upload(file);
        setUploads((all) => [added, ...all]);
      } catch (error) {
        setProblem(String(error));
      }
    }
  };

  return (
    <>
      <h1>Compress files</h1>
      <form onSubmit={submit}>
        <label>
          Files <input type="file" name="file" multiple required />
        </label>
        <button type="submit">Upload</button>
      </form>
      <p role="status">{problem}</p>
      {/* However many there are: the page has one socket. */}
      {uploads.map(({ job, name }) => (
        <FileRow key={job} job={job} name={name} />
      ))}
    </>
  );
}

function sizeText({ bytes, compressed }: Compressed): string {
  return bytes === 0 ? 'It was empty' : `${Math.round((100 * compressed) / bytes)} % of its size is left`;
}

function FileRow({ job, name }: Upload): ReactElement {
  const snapshot = useJob(job);
  const result = snapshot.state?.result as Compressed | undefined;
  return (
    <section>
      <ProgressBar snapshot={snapshot} label={name} />
      {result && <small>{sizeText(result)}</small>}
    </section>
  );
}
