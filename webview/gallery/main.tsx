import { render } from 'preact';
import { registerComponents } from '../components/toolkit';
import '../components/styles/all.css';
import { Gallery } from './gallery';

void registerComponents();
// The page may be a panel's, which draws into the body itself.
const place = document.createElement('div');
document.body.append(place);
render(<Gallery />, place);
