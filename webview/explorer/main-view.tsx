import type { VNode } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Button } from '../components/controls';
import { Failure } from '../components/notice';
import { AfterPaint } from '../kit/after-paint';
import { Comparison } from './comparison';
import { Composition } from './composition';
import { Details } from './details';
import { Footprint } from './footprint';
import { Header } from './header';
import { Lists } from './lists';
import { strings } from './strings';
import { Structure } from './structure';
import { nodesById, buildTree } from './tree-model';
import type { TreeNode } from './tree-model';
import type { ExplorerPanel, ModelDescription } from './types';

/** A model: what it is, what it consists of, and what it takes. */
export function Main({ panel }: { readonly panel: ExplorerPanel }): VNode {
  const [model, failure] = [panel.get('model'), panel.get('failure')];
  if (failure !== undefined) {
    return (
      <Failure title={strings.failed} message={failure}>
        <Button primary label={strings.tryAgain} onClick={panel.run.reload} />
      </Failure>
    );
  }
  if (model === undefined) return <p class="muted loading">{strings.loading}</p>;
  return <Model panel={panel} model={model} />;
}

interface ModelProps {
  readonly panel: ExplorerPanel;
  readonly model: ModelDescription;
}

function Model({ panel, model }: ModelProps): VNode {
  const tree = useMemo(() => buildTree(model), [model]);
  const nodes = useMemo(() => nodesById(tree), [tree]);
  /** Selection in the diagram that is not a row of the table. */
  const [combined, setCombined] = useState<TreeNode>();
  const { selected } = panel.view.value;
  const chosen = combined ?? (selected === undefined ? undefined : nodes().get(selected));
  /** Selects a row and opens its ancestors. */
  const choose = (id: string) => {
    const expanded = new Set(panel.view.peek().expanded);
    for (let above = nodes().get(id)?.parent; above !== undefined; above = above.parent) {
      expanded.add(above.id);
    }
    panel.setView({ expanded: [...expanded], selected: id });
    setCombined(undefined);
  };
  return (
    <div>
      <Header panel={panel} model={model} />
      <ShownComparison panel={panel} />
      <div class="columns explorer-columns">
        <Structure
          {...{ panel, model, tree, nodes, choose }}
          onCombined={setCombined}
          onSelect={(node) => {
            panel.setView({ selected: node.id });
            setCombined(undefined);
          }}
        />
        <Details
          panel={panel}
          model={model}
          node={chosen}
          choose={(tensor) => {
            choose(`tensor:${tensor}`);
          }}
        />
      </div>
      <div class="columns">
        <AfterPaint>
          <Composition model={model} />
          <Footprint model={model} />
        </AfterPaint>
      </div>
      <AfterPaint>
        <Lists model={model} onOpen={panel.run.openFile} />
      </AfterPaint>
    </div>
  );
}

/** The comparison, brought into view when it begins. */
function ShownComparison({ panel }: { readonly panel: ExplorerPanel }): VNode {
  const state = panel.get('comparison');
  const element = useRef<HTMLDivElement>(null);
  const isShown = state !== undefined;
  useEffect(() => {
    if (isShown) element.current?.scrollIntoView({ block: 'nearest' });
  }, [isShown]);
  return <div ref={element}>{isShown && <Comparison panel={panel} state={state} />}</div>;
}
