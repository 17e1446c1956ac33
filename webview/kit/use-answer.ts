import { useEffect, useRef, useState } from 'preact/hooks';
import { Asker } from './asker';
import type { Answered } from './asker';

/**
 * The answer to the question that was asked last, and the one before until it is there.
 * @param question the same object as long as no new question is needed
 */
export function useAnswer<Question, Answer>(
  call: (question: Question) => Promise<Answer>,
  question: Question,
): Answered<Question, Answer> | undefined {
  const [answered, setAnswered] = useState<Answered<Question, Answer>>();
  const latest = useRef(call);
  latest.current = call;
  const asker = useRef<Asker<Question, Answer>>(null);
  useEffect(() => {
    asker.current ??= new Asker(async (one) => latest.current(one), setAnswered);
    asker.current.ask(question);
  }, [question]);
  return answered;
}
