import { useComputed } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import type { HeatmapCalls } from '../../extension/protocol/heatmap';
import { methods } from '../kit/calls';
import type { Runner } from '../kit/calls';
import { buildCells } from './cells';
import type { CellSet } from './cells';
import { Choices } from './choices';
import { expectedDistance } from './curves/expected-distance';
import { withChoice } from './draft';
import type { Choice, Selected } from './draft';
import { removalOrder } from './selection';
import { strings } from './strings';
import type { HeatmapPanel } from './heatmap-panel';
import type { Mark } from './types';

/** Data of a selection that the parts of the panel draw from, and the functions that change it. */
export interface Frame {
  readonly selected: Selected;
  readonly cells: CellSet;
  /** Expected distance of the selection, if no round has measured it. */
  readonly expected: number | undefined;
  readonly selectRounds: (rounds: number) => void;
  readonly setMark: (sublayer: string, mark: Mark) => void;
  readonly change: (choice: 'clearMarks' | 'undo' | 'redo') => void;
  /** The panel's calls, sent once the host has the selection that the user sees. */
  readonly run: Runner<HeatmapCalls>;
}

/** Computed where what it is made of has changed. */
export function useFrame(panel: HeatmapPanel): Frame {
  const [model, profile, candidates, patches] = [
    panel.get('model'),
    panel.get('profile'),
    panel.get('candidates'),
    panel.get('patches'),
  ];
  const [selectedRounds, slider, byHand, removed, protectedIds, widthPruned, selectionEvaluation] =
    [
      panel.get('selectedRounds'),
      panel.get('slider'),
      panel.get('byHand'),
      panel.get('removed'),
      panel.get('protectedIds'),
      panel.get('widthPruned'),
      panel.get('selectionEvaluation'),
    ];
  const [drift, measurements] = [panel.get('drift'), panel.get('measurements')];
  const colors = useComputed(() => panel.view.value.colors).value;
  const choices = useMemo(() => new Choices(async (choice) => tell(panel, choice)), [panel]);
  const { waiting } = choices;
  const selected = useMemo(
    () =>
      waiting.reduce(withChoice, {
        ...{ model, profile, selectedRounds, slider, byHand },
        ...{ removed, protectedIds, widthPruned, selectionEvaluation },
      }),
    [
      ...[model, profile, selectedRounds, slider, byHand],
      ...[removed, protectedIds, widthPruned, selectionEvaluation, waiting],
    ],
  );
  const before = useRef<CellSet>(undefined);
  const cells = useMemo(() => {
    const shown = { ...selected, candidates, patches, drift, measurements, colors };
    before.current = buildCells(shown, before.current);
    return before.current;
  }, [selected, candidates, patches, drift, measurements, colors]);
  const expected = useMemo(
    () =>
      selected.selectedRounds === undefined
        ? expectedDistance({ ...selected, candidates })
        : undefined,
    [selected, candidates],
  );
  const latest = useRef(selected);
  latest.current = selected;
  const actions = useMemo(
    () => ({
      selectRounds: (rounds: number) => {
        choices.add({ type: 'selectRounds', rounds });
      },
      setMark: (sublayer: string, mark: Mark) => {
        const choice = { type: 'setMark', sublayer, mark } as const;
        const order = removalOrder(withChoice(latest.current, choice)).get(sublayer);
        choices.add(choice);
        panel.announce(strings.marked(sublayer, strings.markName(mark, order)));
      },
      change: (type: 'clearMarks' | 'undo' | 'redo') => {
        choices.add({ type });
        panel.announce(strings.changed[type]);
      },
      run: methods((name, args) => {
        const call = panel.run[name as keyof HeatmapCalls] as (...args: readonly unknown[]) => void;
        void choices.afterAll(() => {
          call(...args);
        });
      }) as Runner<HeatmapCalls>,
    }),
    [panel, choices],
  );
  return useMemo(
    () => ({ selected, cells, expected, ...actions }),
    [selected, cells, expected, actions],
  );
}

async function tell({ call, showError }: HeatmapPanel, choice: Choice): Promise<void> {
  try {
    if (choice.type === 'selectRounds') await call.selectRounds(choice.rounds);
    else if (choice.type === 'setMark') await call.setMark(choice.sublayer, choice.mark);
    else await call[choice.type]();
  } catch (error) {
    showError(error);
  }
}
