import { Fragment } from 'preact';
import type { VNode } from 'preact';
import type { CompressionState } from '../../extension/protocol/compression';
import { Folded } from '../components/section';
import { Table } from '../components/table';
import { formatShare } from '../format';
import { strings } from './strings';

type MethodFindings = CompressionState['findings'][number];

interface FindingsProps {
  readonly findings: readonly MethodFindings[];
}

/** Findings of the paper about blocks and matrices, compared with this model. */
export function Findings({ findings }: FindingsProps): VNode {
  return (
    <section class="findings">
      <Folded title={strings.findings}>
        <p class="muted">{strings.findingsNote}</p>
        {findings.length === 0 ? (
          <p class="muted">{strings.findingsWaiting}</p>
        ) : (
          <div class="table-scroll wraps">
            <Table
              caption={strings.findingsTable}
              columns={[
                { title: strings.findingMethod },
                { title: strings.findingEarly },
                { title: strings.findingDown },
              ]}
              rows={findings.map((one) => [
                strings.method(one.method),
                earlyCell(one),
                downCell(one),
              ])}
            />
          </div>
        )}
      </Folded>
    </section>
  );
}

function earlyCell({ byDepth, earlyIsMostSensitive }: MethodFindings): VNode {
  return verdict(
    byDepth.length < 2 ? undefined : earlyIsMostSensitive,
    describeShares(byDepth, (group) => strings.depth[group]),
  );
}

function downCell({ byRole, downIsMostSensitive }: MethodFindings): VNode {
  const roles = [...byRole].sort((a, b) => b.distance - a.distance);
  return verdict(
    downIsMostSensitive,
    describeShares(roles, (group) => strings.role[group].toLowerCase()),
  );
}

/** Distances differ by orders of magnitude between methods, their shares of the largest do not. */
function describeShares<Group>(
  groups: readonly { readonly group: Group; readonly distance: number }[],
  groupName: (group: Group) => string,
): string[] {
  const largest = Math.max(...groups.map(({ distance }) => distance));
  return groups.map(
    ({ group, distance }) =>
      `${groupName(group)} ${formatShare(largest > 0 ? distance / largest : 0)}`,
  );
}

function verdict(holds: boolean | undefined, groups: readonly string[]): VNode {
  return (
    <div>
      <strong>
        {holds === undefined ? strings.unknown : holds ? strings.holds : strings.holdsNot}
      </strong>
      <div class="muted">
        {groups.map((group, i) => (
          // Lines break between groups, never in a number.
          <Fragment key={group}>
            {i > 0 && ' '}
            <span class="nowrap">{i < groups.length - 1 ? `${group} ·` : group}</span>
          </Fragment>
        ))}
      </div>
    </div>
  );
}
