import type { VNode } from 'preact';
import { Dropdown } from '../../components/controls';
import { Cartography } from '../charts';
import type { MapProps } from './grouped-map';
import { EmbeddingMap } from './embedding-map';
import type { Region } from '../gallery-query';
import { strings } from '../strings';
import type { DataMapPanel } from '../types';
import type { View } from '../view-state';

interface MapsProps extends Pick<MapProps, 'overview' | 'onPick'> {
  readonly panel: DataMapPanel;
  readonly onSelect: (region: Region) => void;
}

/** One of the maps of the examples: by the dynamics of training, or by the embedding. */
export function Maps({ panel, overview, onPick, onSelect }: MapsProps): VNode {
  const { embedding } = overview;
  const { map } = panel.view.value;
  const set = (change: Partial<View['map']>) => {
    panel.setView({ map: { ...map, ...change } });
  };
  const shown = embedding === undefined ? 'dynamics' : map.shown;
  const props = {
    ...{ overview, onPick },
    onSelect: (region: Omit<Region, 'map'>) => {
      onSelect({ ...region, map: shown });
    },
    controls:
      embedding === undefined ? undefined : (
        <Dropdown
          label={strings.mapChoice}
          options={[
            { value: 'dynamics', label: strings.map },
            { value: 'embedding', label: strings.embedding },
          ]}
          value={shown}
          onChange={(value) => {
            set({ shown: value });
          }}
        />
      ),
  };
  return shown === 'dynamics' || embedding === undefined ? (
    <Cartography {...props} />
  ) : (
    <EmbeddingMap
      {...props}
      embedding={embedding}
      color={map.color}
      onColor={(color) => {
        set({ color });
      }}
    />
  );
}
