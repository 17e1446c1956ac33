import type { VNode } from 'preact';
import { Button } from '../components/controls';
import { Tile } from '../components/facts';
import { Notice } from '../components/notice';
import { PageHeader } from '../components/page-header';
import { Section } from '../components/section';
import { Table } from '../components/table';
import type { ReportPanel, ReportSection } from './report-panel';
import { strings } from './strings';

/** Report of a result: what was made, what it costs, and what to do next. */
export function Main({ panel }: { readonly panel: ReportPanel }): VNode {
  const { title, tooltip, tags, notices, steps, sections } = panel.get('report');
  return (
    <div>
      <PageHeader
        title={title}
        tooltip={tooltip}
        tags={tags}
        actionsLabel={strings.actions}
        actions={steps.map(({ id, label, title: meaning }, i) => (
          <Button
            key={id}
            primary={i === 0}
            label={label}
            title={meaning}
            onClick={() => {
              panel.run.step(id);
            }}
          />
        ))}
      >
        {notices.map((text) => (
          <Notice key={text} text={text} />
        ))}
      </PageHeader>
      {sections.map((section, i) => (
        <Part key={section.title} id={`section-${i}`} panel={panel} section={section} />
      ))}
    </div>
  );
}

interface PartProps {
  readonly id: string;
  readonly panel: ReportPanel;
  readonly section: ReportSection;
}

function Part({ id, panel, section }: PartProps): VNode {
  const { title, note, tiles, texts = [], list = [], table, code, commands = [] } = section;
  return (
    <Section id={id} title={title} note={note}>
      {tiles !== undefined && (
        <dl class="tiles">
          {tiles.map((tile) => (
            <Tile key={tile.name} {...tile} />
          ))}
        </dl>
      )}
      {texts.map((text) => (
        <p key={text} class="muted">
          {text}
        </p>
      ))}
      {code !== undefined && (
        <pre>
          <code>{code}</code>
        </pre>
      )}
      {table !== undefined && <Table caption={title} {...table} />}
      {list.length > 0 && (
        <ul>
          {list.map((item) => (
            <li key={item}>{item}</li>
          ))}
        </ul>
      )}
      {commands.map(({ program, command }) => (
        <div key={program} class="command">
          <span class="muted">{program}</span>
          <code>{command}</code>
          <Button
            label={strings.copy}
            title={strings.copyTitle(program)}
            onClick={() => {
              panel.run.copy(command);
              panel.announce(strings.copied);
            }}
          />
        </div>
      ))}
    </Section>
  );
}
